-- Read only: where models that wait stand with their series.
-- Answers for each: how the state in force begins; up to where a state of the model's stands by, whether
-- the log still has that candle, how many come after it, at most so many; what stands by, whosever it is, and
-- whether it is not to be replaced.
local most = ARGV[1]

local function count_entries(series, from, to)
  return #redis.pcall('XRANGE', LOG .. series, from, to, 'COUNT', most)
end

local out = {}
for i = 2, #ARGV, 2 do
  local series, id = ARGV[i], ARGV[i + 1]
  local seen, held_by, cursor = seen_of(series)
  cursor = held_by == id and is_whole(cursor) and cursor
  local is_there = cursor and count_entries(series, cursor, cursor) == 1
  out[#out + 1] = {head_of(series), cursor or '', is_there and 1 or 0,
    count_entries(series, is_there and '(' .. cursor .. '-0' or '-', '+'),
    seen, is_reserved(series) and 1 or 0}
end
return out
