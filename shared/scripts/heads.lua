-- Read only: for each series how its state begins.
local out = {}
for i, series in ipairs(ARGV) do out[i] = head_of(series) end
return out
