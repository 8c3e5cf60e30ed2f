-- Read only: for each series how its state begins, in which the header is; nothing where there is none.
local LENGTH = 1024
local out = {}
for i, series in ipairs(ARGV) do
  local state = redis.pcall('HGET', MODEL .. series, 'state')
  out[i] = type(state) == 'string' and string.sub(state, 1, LENGTH) or ''
end
return out
