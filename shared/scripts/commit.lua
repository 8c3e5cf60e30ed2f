-- Make one series' learning durable and public, or nothing (design rule 6).
-- Answers: whether it was committed, and the doorbells missing.
local per_claim, series, etag, new_etag = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local old_cursor, cursor, digest, learned = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local state, fingerprint, scores, since = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local forecast, forecast_ttl, history = ARGV[13], ARGV[14], ARGV[15]
local retention_ms, cap = tonumber(ARGV[16]), ARGV[17]
local dead_candle, dead_reason, dead_error = ARGV[18], ARGV[19], ARGV[20]
local keeper, is_saved = ARGV[21], ARGV[22] == '1'
local COUNTS = 23
local log, model = LOG .. series, MODEL .. series
local now = now_ms()

local function lose()
  add_up(TOTALS, 'conflicts', 1)
  return {0, ring(now, per_claim)}
end

-- The token undoes losers, the slice proves that the log still says what was learned.
if redis.call('HGET', model, 'etag') ~= etag then return lose() end
local parts, settled = {}, 0
for _, entry in ipairs(redis.call('XRANGE', log, old_cursor ~= '' and '(' .. old_cursor .. '-0' or '-', cursor .. '-0')) do
  parts[#parts + 1] = entry[1]
  for _, value in ipairs(entry[2]) do parts[#parts + 1] = value end
  settled = settled + 1
end
if redis.sha1hex(table.concat(parts)) ~= digest then return lose() end

-- The letter comes first: were it refused, a candle would be passed over that is nowhere.
if dead_reason ~= '' then bury(series, dead_candle, dead_reason, dead_error, cap) end
redis.call('HSET', model, 'etag', new_etag, 'cursor', cursor, 'fingerprint', fingerprint, 'since', since,
  'keeper', keeper)
if is_saved then redis.call('HSET', model, 'state', state, 'saved', cursor) end
if scores ~= '' then redis.call('HSET', model, 'scores', scores) end
redis.call('HDEL', model, 'attempts', 'until')
count(model, 'revision', 1)
count(model, 'sequence', learned)
count(model, 'settled', settled)
for i = COUNTS, #ARGV, 2 do add_up(TOTALS, ARGV[i], ARGV[i + 1]) end
local suspect = tonumber(redis.call('HGET', model, 'suspect') or nil)
if suspect and tonumber(cursor) >= suspect then redis.call('HDEL', model, 'suspect') end

local published = redis.call('HGET', model, 'published')
if forecast ~= '' and not (is_whole(published) and (tonumber(published or nil) or 0) > tonumber(cursor)) then
  redis.call('SET', FORECAST .. series, forecast, 'PX', forecast_ttl)
  redis.call('XADD', FORECASTS .. series, 'MAXLEN', history, '*', 'forecast', forecast)
  redis.call('PUBLISH', CHANNEL .. series, forecast)
  redis.call('HSET', model, 'published', cursor)
end

-- What the state has not learned stays, whatever its age: whoever takes the series up needs it.
local saved = tonumber(is_saved and cursor or redis.call('HGET', model, 'saved') or cursor) or 0
local oldest = math.min(tonumber(cursor) - retention_ms, saved + 1)
redis.call('XTRIM', log, 'MINID', text(math.max(0, oldest)) .. '-0')
if log_end(log) > tonumber(cursor) then
  redis.call('ZADD', PENDING, text(now), series)
else
  redis.call('ZREM', PENDING, series)
end
return {1, ring(now, per_claim)}
