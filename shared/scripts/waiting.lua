-- Read only: for each series, the end of its log and how many candles lie beyond the cursor.
-- Answers for the first of them only, once so many candles had to be read: Redis does nothing else meanwhile.
local most, out = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  local log, cursor = LOG .. ARGV[i], cursor_of(MODEL .. ARGV[i])
  local last, learned, read = log_end(log), count_learned(log, cursor)
  out[i - 1] = {last and text(last) or '', redis.call('XLEN', log) - learned}
  most = most - read
  if most < 0 then break end
end
return out
