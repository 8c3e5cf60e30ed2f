-- Let one series rest, or go on: its candles are kept meanwhile, and a claim passes it over.
-- Answers whether the series is known, and the doorbells missing.
local per_claim, series, paused = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local now = now_ms()
if redis.call('SISMEMBER', SERIES, series) == 0 then return {0, 0} end
if paused then
  -- In this order it works while Redis is full, too: it refuses nothing once a script has written.
  redis.call('ZREM', PENDING, series)
  redis.call('HSET', MODEL .. series, 'paused', 1)
  return {1, 0}
end
redis.call('HDEL', MODEL .. series, 'paused')
redis.call('ZADD', PENDING, 'NX', text(now), series)
return {1, ring(now, per_claim)}
