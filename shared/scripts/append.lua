-- Append closed candles of one series to its log and mark it pending (design rule 3).
-- Answers: accepted, duplicates, revised, refused, holes, why it stopped, end of the log, lag, doorbells.
local per_claim, series, max_series = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local step, origin, after = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local max_waiting, grace, cap = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local FIRST, WIDTH, LONGEST, BEFORE_ALL = 10, 6, 32, -1
local log, model = LOG .. series, MODEL .. series
local now = now_ms()

for i = FIRST, #ARGV, WIDTH do
  local open = tonumber(ARGV[i])
  if (open - origin) % step ~= 0 then return {'off_grid', (i - FIRST) / WIDTH} end
  if open + step > now + grace then return {'unclosed', (i - FIRST) / WIDTH, text(now)} end
  for k = 1, 5 do
    if #ARGV[i + k] > LONGEST then return {'oversized', (i - FIRST) / WIDTH} end
  end
end
if redis.call('SISMEMBER', SERIES, series) == 0 and redis.call('SCARD', SERIES) >= max_series then
  return {'too_many'}
end

local last, cursor = log_end(log), cursor_of(model)
local held = redis.call('XLEN', log)
local room = max_waiting - held
if room < (#ARGV - FIRST + 1) / WIDTH then
  room = room + count_learned(log, cursor)
end

local accepted, duplicates, revised, refused, settled, holes, missing, stopped = 0, 0, 0, 0, 0, 0, 0, ''

-- A time that the log has passed: told apart by what the log holds there.
local function old(i)
  local entry = redis.call('XRANGE', log, ARGV[i], ARGV[i])[1]
  if not entry then
    refused = refused + 1
    return
  end
  local same = true
  for k = 1, 5 do same = same and entry[2][2 * k] == ARGV[i + k] end
  if same then
    duplicates = duplicates + 1
  else
    revised = revised + 1
    -- A source that repeats itself must not push other letters out.
    local candle = table.concat(ARGV, ' ', i, i + 5)
    if redis.call('HGET', model, 'last_revised') ~= candle then
      redis.call('HSET', model, 'last_revised', candle)
      bury(series, candle, 'revised', 'the log holds ' .. entry[1] .. ' ' .. table.concat(entry[2], ' '), cap)
    end
  end
end

local function add(i, open)
  if accepted == 0 then
    -- The mark comes first: a candle without a mark would never be learned.
    redis.call('ZADD', PENDING, 'NX', text(now), series)
    redis.call('SADD', SERIES, series)
  end
  redis.call('XADD', log, ARGV[i] .. '-0', 'o', ARGV[i + 1], 'h', ARGV[i + 2], 'l', ARGV[i + 3],
    'c', ARGV[i + 4], 'v', ARGV[i + 5])
  if last and open ~= last + step then
    holes = holes + 1
    missing = missing + (open - last) / step - 1
  end
  last = open
  accepted = accepted + 1
  -- A state may have been restored that is ahead of this log: it has learned the candle already.
  if cursor and last <= cursor then settled = settled + 1 end
end

-- A candle goes to the log's end if it is the next one there, or if its source has it right behind
-- that end: only the source knows whether there was a candle between, and only Redis where the log ends.
for i = FIRST, #ARGV, WIDTH do
  local open = tonumber(ARGV[i])
  if last and open <= last then
    old(i)
  elseif accepted >= room then
    -- Nobody takes candles that wait without a mark, and their producer waits for just that.
    if accepted == 0 then redis.call('ZADD', PENDING, 'NX', text(now), series) end
    stopped = 'full'
    break
  elseif after ~= (last or BEFORE_ALL) and open ~= (last and last + step) then
    stopped = 'gap'
    break
  else
    add(i, open)
  end
  after = open
end

if accepted > 0 then redis.call('HSET', model, 'appended_at', text(now)) end
for name, more in pairs({appended = accepted, settled = settled, duplicates = duplicates, revised = revised,
  refused = refused, holes = holes, missing = missing}) do
  if more > 0 then count(model, name, more) end
end
local behind = last and (cursor and math.max(0, last - cursor) / step or held + accepted) or 0
return {'ok', accepted, duplicates, revised, refused, holes, stopped, last and text(last) or '', behind,
  ring(now, per_claim)}
