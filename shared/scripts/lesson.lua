-- Read only: the next entries of a log, at most so many, and never its newest.
local series, cursor, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = redis.call('XRANGE', LOG .. series, cursor ~= '' and '(' .. cursor .. '-0' or '-', '+', 'COUNT', most + 1)
-- The last one is either the newest, or one more than was asked for.
found[#found] = nil
return found
