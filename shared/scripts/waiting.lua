-- Read only: for each series, the end of its log and how many candles lie beyond the cursor.
local out = {}
for i, series in ipairs(ARGV) do
  local log, last = LOG .. series, log_end(LOG .. series)
  local cursor = cursor_of(MODEL .. series)
  local waiting = 0
  if last and last ~= cursor then waiting = redis.call('XLEN', log) - count_learned(log, cursor) end
  out[i] = {last and text(last) or '', waiting}
end
return out
