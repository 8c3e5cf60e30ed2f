-- The heartbeat of the fleet (design rules 8 and 11).
-- A worker that learns nothing gives no fleet and keeps none alive. One that waits for the field may
-- only look whether it is free: after an outage those who hold it shall come first. Only the heir relieves
-- them, whose states stand by; and not one who was relieved just now: it was to end, and was started anew.
-- Answers: Redis's time, the fleet's holder, doorbells missing, whether housekeeping is due.
local per_claim, fleet, fleet_ttl, how = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local guard_ms, lease, period_ms = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local now, relieved_ms = now_ms(), 2 * fleet_ttl

-- Expiries are absolute too: after a step back they would hold for the length of the step. A guard
-- without one is not ours: it would hold for ever.
for name, most in pairs({[TICK] = guard_ms, [FLEET] = fleet_ttl, [HEIR] = fleet_ttl, [RELIEVED] = relieved_ms, [HOUSEKEEPING] = period_ms}) do
  local left = redis.call('PTTL', name)
  if left == -1 or left > tonumber(most) then redis.call('DEL', name) end
end

local function may_relieve()
  local relieved_until = tonumber(redis.pcall('HGET', RELIEVED, fleet))
  local was_relieved = relieved_until and relieved_until > now and relieved_until <= now + relieved_ms
  return not was_relieved and redis.pcall('HGET', HEIR, 'fleet') == fleet
end

local holder = redis.call('GET', FLEET)
if fleet ~= '' then
  if holder == fleet then
    -- A full Redis would refuse to write the name again.
    redis.call('PEXPIRE', FLEET, fleet_ttl)
  elseif how == 'take over' or (how == 'relieve' and may_relieve()) or (not holder and how ~= 'look') then
    -- Of an empty field nobody is relieved, and yet it has just been taken.
    if redis.call('TYPE', RELIEVED).ok ~= 'hash' then redis.call('DEL', RELIEVED) end
    redis.call('HSET', RELIEVED, holder or '', text(now + relieved_ms))
    redis.call('PEXPIRE', RELIEVED, relieved_ms)
    redis.call('SET', FLEET, fleet, 'PX', fleet_ttl)
    holder = fleet
    if redis.call('HGET', HEIR, 'fleet') == fleet then redis.call('DEL', HEIR) end
  end
  -- Who only waits for the field must not take the tick from those who hold it.
  if holder ~= fleet then return {text(now), holder or '', 0, 0} end
end
if not redis.call('SET', TICK, 1, 'NX', 'PX', guard_ms) then return {text(now), holder or '', 0, 0} end

-- No lease reaches further than this: such a score is of a clock that stepped back since.
for _, series in ipairs(redis.call('ZRANGE', PENDING, '(' .. text(now + lease), '+inf', 'BYSCORE', 'LIMIT', 0, 1000)) do
  redis.call('ZADD', PENDING, text(now), series)
end
local housekeeping = 0
if redis.call('LLEN', HOUSEKEEPING_QUEUE) == 0 and redis.call('SET', HOUSEKEEPING, 1, 'NX', 'PX', period_ms) then
  housekeeping = 1
end
return {text(now), holder or '', ring(now, per_claim), housekeeping}
