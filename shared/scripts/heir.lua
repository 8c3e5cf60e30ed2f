-- Say which fleet prepares to hold the field next: this one, unless another does; answers who it is.
local fleet, ttl, comes_first, ready, series = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5]
local heir = redis.pcall('HGET', HEIR, 'fleet')
if type(heir) == 'table' then redis.call('DEL', HEIR) end
if type(heir) == 'string' and heir ~= fleet and not comes_first then return heir end
redis.call('HSET', HEIR, 'fleet', fleet, 'ready', ready, 'series', series)
redis.call('PEXPIRE', HEIR, ttl)
return fleet
