-- Have one series' state stand by for a fleet that waits, if nothing has changed since it was read.
-- Answers whether it does.
local fleet, series, ttl, id, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local cursor, sequence, since, state = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
-- Once it holds the field, what stands by is of those who held it before.
if redis.call('GET', FLEET) == fleet or redis.call('HGET', HEIR, 'fleet') ~= fleet or redis.call('SISMEMBER', SERIES, series) == 0 then return 0 end
if seen_of(series) ~= seen or is_reserved(series) then return 0 end
stand_by(series, ttl, fleet, id, state, cursor, sequence, since)
return 1
