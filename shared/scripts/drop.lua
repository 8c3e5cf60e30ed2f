-- Forget what stands by of a series, if it is what was seen: another may have taken its place.
local series, seen = ARGV[1], ARGV[2]
if seen_of(series) ~= seen then return 0 end
return redis.call('UNLINK', STANDBY .. series)
