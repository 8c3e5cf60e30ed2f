-- Say which fleet prepares to hold the field next: this one, unless another does; answers who it is.
local fleet, ttl, comes_first, rolls, ready, series = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5], ARGV[6]
-- Who holds it already prepares for nothing: one of its workers has not noticed yet.
if redis.call('GET', FLEET) == fleet then return '' end
local heir = redis.pcall('HGET', HEIR, 'fleet')
if type(heir) == 'string' and heir ~= fleet and not comes_first then return heir end
if heir ~= fleet then redis.call('DEL', HEIR) end
redis.call('HSET', HEIR, 'fleet', fleet, 'rolls', rolls, 'ready', ready, 'series', series)
redis.call('PEXPIRE', HEIR, ttl)
return fleet
