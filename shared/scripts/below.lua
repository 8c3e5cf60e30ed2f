-- Note since when the skill of one series has been below its champion's; an empty time takes that off.
local series, since = ARGV[1], ARGV[2]
if redis.call('SISMEMBER', SERIES, series) == 0 then return end
if since == '' then
  redis.call('HDEL', MODEL .. series, 'below_since')
else
  redis.call('HSET', MODEL .. series, 'below_since', since)
end
