-- Read only: for each series, the end of its log and how many candles lie beyond the cursor.
local out = {}
for i, series in ipairs(ARGV) do
  local log, last = LOG .. series, log_end(LOG .. series)
  local cursor = tonumber(redis.call('HGET', MODEL .. series, 'cursor') or nil)
  local waiting = 0
  if last and last ~= cursor then waiting = redis.call('XLEN', log) - count_learned(log, cursor) end
  out[i] = {last and text(last) or '', waiting}
end
return out
