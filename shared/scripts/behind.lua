-- Read only: the entries up to the cursor of a series that its state has not learned.
local series = ARGV[1]
local m = redis.call('HMGET', MODEL .. series, 'saved', 'cursor')
return is_whole(m[1]) and is_whole(m[2]) and behind(series, m[1], m[2]) or {}
