-- Hand out due series with their states and next candles (design rules 4 and 5).
-- Answers: Redis's time, the fleet's holder, and for each series what the worker needs.
local max_series, max_candles, per_series = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lease, fleet, nonce, worker = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local BATCH_FAILURES, ALONE_FAILURES = 2, 3
-- So many claims' worth of due series are looked at to find those that are this worker's.
local WINDOW = 8
-- So many leases what another worker keeps is left to it, in whose memory it need not be read.
local PATIENCE = 10
-- Of the fields asked for below, those that hold numbers.
local NUMBERS = {[2] = 'cursor', [3] = 'attempts', [4] = 'suspect', [5] = 'until', [6] = 'revision', [7] = 'sequence',
  [8] = 'since', [9] = 'saved'}
local now = now_ms()

-- Only a tick gives an empty field away: it knows who has to look first.
local holder = redis.call('GET', FLEET)
if holder ~= fleet then return {text(now), holder or '', {}} end

-- The first field of a record that is not as these scripts write it; it is handed out as if it were
-- not there, and the worker learns the series again.
local function spoilt_field(m)
  local spoilt
  if m[8] == '' then m[8] = false end -- so it is written where nothing has been learned yet
  for i, name in pairs(NUMBERS) do
    if not is_whole(m[i]) then
      spoilt = spoilt or name
      m[i] = false
    end
  end
  if m[1] and not string.match(m[1], '^[%w-]+$') then m[1] = false end
  return spoilt or ''
end

-- The due series to look at: those that no other worker has in its memory, and those that one has. A series
-- that died in a claim is anybody's, and so is one that has waited for so long that its keeper may be dead.
local function candidates()
  local due = redis.call('ZRANGE', PENDING, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, max_series * WINDOW, 'WITHSCORES')
  local mine, others = {}, {}
  for i = 1, #due, 2 do
    local m = redis.pcall('HMGET', MODEL .. due[i], 'keeper', 'attempts')
    local free = m.err or not m[1] or m[1] == '' or m[1] == worker or m[2] or tonumber(due[i + 1]) < now - PATIENCE * lease
    local list = free and mine or others
    if #list < max_series then list[#list + 1] = due[i] end
    if #mine == max_series then break end
  end
  return mine, others
end

local claims = {}

-- Whether more may be claimed after this series.
local function hand_out(series)
  local model = MODEL .. series
  local m = redis.pcall('HMGET', model, 'etag', 'cursor', 'attempts', 'suspect', 'until', 'revision', 'sequence',
    'since', 'saved', 'fingerprint', 'appended_at', 'snapshot_version', 'snapshot_alias', 'paused', 'keeper')
  local spoilt = not m.err and spoilt_field(m)
  local etag, cursor, attempts, suspect = m[1], m[2], tonumber(m[3] or 0), m[4]
  local alone = attempts > 0 or suspect
  -- One series' broken keys must not cost the others their claim.
  if m.err or m[14] == '1' then
    redis.call('ZREM', PENDING, series)
  elseif not alone or #claims == 0 then
    if attempts >= BATCH_FAILURES and not suspect then
      -- What killed whole claims is among the candles handed out: look at them one by one.
      suspect, attempts = m[5] or '0', 0
      redis.call('HSET', model, 'suspect', suspect)
    end
    local count = suspect and 1 or math.min(per_series, max_candles)
    local entries = redis.pcall('XRANGE', LOG .. series, cursor and '(' .. cursor .. '-0' or '-', '+', 'COUNT', count)
    if entries.err or #entries == 0 then
      redis.call('ZREM', PENDING, series)
      redis.call('HDEL', model, 'attempts', 'suspect', 'until')
    else
      etag = etag or nonce .. '-' .. #claims
      redis.call('HSET', model, 'etag', etag, 'attempts', attempts + 1, 'worker', worker,
        'until', text(open_time(entries[#entries])))
      redis.call('ZADD', PENDING, text(now + lease), series)
      local condemned = suspect and attempts >= ALONE_FAILURES
      local is_kept, state, lacking = worker ~= '' and m[15] == worker, nil, {}
      if not is_kept then
        state, lacking = redis.call('HGET', model, 'state'), behind(series, m[9], cursor)
        -- No commit leaves a cursor without a state, were it an empty one.
        if cursor and not state and spoilt == '' then spoilt = 'state' end
      end
      max_candles = max_candles - #entries - #lacking
      claims[#claims + 1] = {series, etag, cursor or '', attempts, condemned and 1 or 0, suspect and 1 or 0, m[6] or '0', m[7] or '0',
        m[8] or '', state or '', m[10] or '', m[11] or '', m[12] or '', m[13] or '', entries, spoilt, lacking,
        is_kept and 1 or 0}
      return not alone and max_candles > 0
    end
  end
  return true
end

local function hand_out_all(list)
  for _, series in ipairs(list) do
    if not hand_out(series) then break end
  end
end

local mine, others = candidates()
hand_out_all(mine)
if #claims == 0 then hand_out_all(others) end
return {text(now), holder, claims}
