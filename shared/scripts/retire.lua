-- Remove every key of one series, if its model is still the one that was put away.
-- A worker that has the series in hand loses: its token is gone. Answers 'ok' or 'moved'.
local series, revision = ARGV[1], ARGV[2]
local model = MODEL .. series
local held = redis.call('HGET', model, 'revision')
-- A revision that is no number says nothing of whether the model has moved.
if is_whole(held) and tonumber(held or 0) ~= tonumber(revision) then return 'moved' end
redis.call('UNLINK', LOG .. series, model, FORECAST .. series, FORECASTS .. series, STANDBY .. series)
redis.call('ZREM', PENDING, series)
redis.call('SREM', SERIES, series)
return 'ok'
