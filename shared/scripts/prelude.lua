-- Put before every script. KEYS are always the same eighteen, in the order of keys.py;
-- a name ending in a colon is completed with the series.
local PENDING, QUEUE, SERIES, DEAD_LETTERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local LOG, MODEL, FORECAST, FORECASTS, CHANNEL = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local FLEET, TICK, HOUSEKEEPING, HOUSEKEEPING_QUEUE = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local EVENTS, TOTALS, HEIR, STANDBY, RELIEVED = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]

-- Only Redis's clock decides anything.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

local function open_time(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

-- Whether a field is absent or a number as these scripts write it, and no longer than one.
local function is_whole(value)
  return not value or (#value < 16 and string.match(value, '^%d+$') ~= nil)
end

-- Open time of the last candle learned, or nil.
local function cursor_of(model)
  local cursor = redis.call('HGET', model, 'cursor')
  return is_whole(cursor) and tonumber(cursor or nil) or nil
end

-- A counter that somebody else wrote into starts again: nothing may stop half-way over it, nor may
-- it stay what no claim takes for a number.
local function add_up(hash, name, by)
  local answer = redis.pcall('HINCRBY', hash, name, by)
  local is_sound = type(answer) == 'number' and answer >= 0 and answer < 1e15
  if not is_sound then redis.pcall('HSET', hash, name, by) end
end

-- Of one series, and of all together: these never fall, whatever is restored, rebuilt or retired.
local function count(model, name, by)
  add_up(model, name, by)
  add_up(TOTALS, name, by)
end

-- Open time of the log's last candle, or nil.
local function log_end(log)
  local entries = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  return entries[1] and open_time(entries[1])
end

-- How many candles of the log are not beyond the cursor, and how many were read to know it: those on
-- the side of the cursor that is shorter by time.
local function count_learned(log, cursor)
  local last = cursor and log_end(log)
  if not last then return 0, 0 end
  if last <= cursor then return redis.call('XLEN', log), 0 end
  local first = open_time(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1])
  if last - cursor < cursor - first then
    local beyond = #redis.call('XRANGE', log, text(cursor + 1), '+')
    return redis.call('XLEN', log) - beyond, beyond
  end
  local learned = #redis.call('XRANGE', log, '-', text(cursor))
  return learned, learned
end

-- Entries up to the cursor that the state of a series has not learned: fewer than `state_every`, which
-- the settings let be 32 at most.
local function behind(series, saved, cursor)
  if not saved or not cursor or saved == cursor then return {} end
  return redis.call('XRANGE', LOG .. series, '(' .. saved .. '-0', cursor .. '-0', 'COUNT', 32)
end

-- How many doorbells are missing: one for each claim's worth of due series.
local function ring(now, per_claim)
  local due = redis.call('ZCOUNT', PENDING, '-inf', text(now))
  return math.max(0, math.ceil(due / per_claim) - redis.call('LLEN', QUEUE))
end

local function bury(series, candle, reason, message, cap)
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', cap, '*', 'series', series, 'candle', candle,
    'reason', reason, 'error', message)
  count(MODEL .. series, 'dead_letters', 1)
  add_up(TOTALS, 'dead_letters:' .. reason, 1)
end

-- How the state of a series begins, in which its header is; nothing where there is none.
local function head_of(series)
  local state = redis.pcall('HGET', MODEL .. series, 'state')
  return type(state) == 'string' and string.sub(state, 1, 1024) or ''
end

-- Have a state stand by, in place of whatever does; a fleet is named that has prepared it.
local function stand_by(series, ttl, fleet, id, state, cursor, sequence, since)
  local key = STANDBY .. series
  redis.call('DEL', key)
  redis.call('HSET', key, 'fleet', fleet, 'id', id, 'state', state, 'cursor', cursor, 'sequence', sequence,
    'since', since)
  redis.call('PEXPIRE', key, ttl)
end

-- Which state stands by of a series, whosever it is, and of what it is made: identity and cursor; nothing
-- where none does.
local function seen_of(series)
  local held = redis.pcall('HMGET', STANDBY .. series, 'id', 'cursor')
  local id, cursor = not held.err and held[1] or '', not held.err and held[2] or ''
  return id .. cursor, id, cursor
end

-- Whether what stands by is of those who have the field, and have not gone on from it yet. Only who is to
-- take the field from them may replace it, and not within two minutes: series of a minute have gone on by then.
local function is_reserved(series)
  local holder = redis.call('GET', FLEET)
  if not holder or redis.pcall('HGET', STANDBY .. series, 'fleet') ~= holder then return false end
  return redis.call('EXISTS', RELIEVED) == 1 or redis.pcall('HGET', HEIR, 'rolls') ~= '1'
end
