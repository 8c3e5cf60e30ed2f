-- Remove every key of one series, if its model is still the one that was put away.
-- A worker that has the series in hand loses: its token is gone. Answers 'ok' or 'moved'.
local series, revision = ARGV[1], ARGV[2]
local model = MODEL .. series
if (redis.call('HGET', model, 'revision') or '0') ~= revision then return 'moved' end
redis.call('UNLINK', LOG .. series, model, FORECAST .. series, FORECASTS .. series)
redis.call('ZREM', PENDING, series)
redis.call('SREM', SERIES, series)
return 'ok'
