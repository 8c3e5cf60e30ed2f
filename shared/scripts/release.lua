-- Give claimed series back untouched (design rule 7): nothing is held against their candles. They are
-- due at once, unless they are to rest until the lease ends. Answers the doorbells missing.
local per_claim, rest = tonumber(ARGV[1]), ARGV[2] == '1'
local now = now_ms()
for i = 3, #ARGV, 2 do
  local series, etag = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', MODEL .. series, 'etag') == etag then
    redis.call('HDEL', MODEL .. series, 'attempts', 'until')
    if not rest then redis.call('ZADD', PENDING, 'XX', text(now), series) end
  end
end
return ring(now, per_claim)
