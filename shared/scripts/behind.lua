-- Read only: for each series the entries up to its cursor that its state has not learned.
local out = {}
for i, series in ipairs(ARGV) do
  local m = redis.call('HMGET', MODEL .. series, 'saved', 'cursor')
  out[i] = is_whole(m[1]) and is_whole(m[2]) and behind(series, m[1], m[2]) or {}
end
return out
