-- A worker has died: what it had in hand is due at once, with the death counted (design rule 4).
-- A claim is no condition of a commit, so that a mistake here costs time only. Answers the doorbells missing.
local per_claim, worker = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
for _, series in ipairs(redis.call('ZRANGE', PENDING, '(' .. text(now), '+inf', 'BYSCORE')) do
  local attempts, holder = unpack(redis.call('HMGET', MODEL .. series, 'attempts', 'worker'))
  if attempts and holder == worker then redis.call('ZADD', PENDING, text(now), series) end
end
return ring(now, per_claim)
