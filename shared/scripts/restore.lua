-- Put a state at a cursor of the log back in force (design rules 9 and 12).
-- Answers 'ok', 'lost' (the etag is not the one seen), 'unknown' (there is no such series: it may have
-- been retired) or 'hole' (the log no longer holds that candle).
local per_claim, series, etag, new_etag = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local cursor, state, fingerprint, scores = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local sequence, since, accept_hole = ARGV[9], ARGV[10], ARGV[11] == '1'
local counter, event, version, why, origin = ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[16]
local put_by, put_by_ttl = ARGV[17], ARGV[18]
local log, model = LOG .. series, MODEL .. series
local now = now_ms()

if etag ~= '' and redis.call('HGET', model, 'etag') ~= etag then return {'lost', ring(now, per_claim)} end
-- Who holds the series' token need not ask whether there is one: a worker heals what it claimed.
if etag == '' and not accept_hole and redis.call('SISMEMBER', SERIES, series) == 0 then
  return {'unknown', ring(now, per_claim)}
end
if cursor ~= '' and not accept_hole and #redis.call('XRANGE', log, cursor, cursor) == 0 then
  return {'hole', ring(now, per_claim)}
end

-- What another model knows is put by, for when that one comes back.
if put_by ~= '' then
  local was = redis.call('HMGET', model, 'state', 'saved', 'cursor', 'sequence', 'since')
  local is_sound = was[1] and is_whole(was[2]) and is_whole(was[3]) and is_whole(was[4])
  if is_sound and was[2] and was[3] and was[4] then
    local lacks = #behind(series, was[2], was[3])
    stand_by(series, put_by_ttl, '', put_by, was[1], was[2], text(tonumber(was[4]) - lacks), was[5] or '')
  end
end

-- Candles that will be learned again are no longer settled; those that the state knows are.
local old = redis.call('HMGET', model, 'cursor', 'settled', 'appended')
local known = count_learned(log, tonumber(cursor))
local learned = count_learned(log, cursor_of(model))
local held, again = redis.call('XLEN', log), learned - known
local is_sound = is_whole(old[1]) and is_whole(old[2]) and old[3] and is_whole(old[3])
if is_sound then
  local settled, appended = tonumber(old[2] or 0), tonumber(old[3])
  is_sound = settled >= again and appended - settled >= held - learned
end
if is_sound then
  -- Of zero there is a negative one, which Redis 7.0 takes for no number.
  redis.call('HINCRBY', model, 'settled', 0 - again)
else
  -- The record is gone, or what it says of itself is of no use: count anew from what the log holds.
  local appended = math.max(held, is_whole(old[3]) and tonumber(old[3] or 0) or 0)
  redis.call('HSET', model, 'appended', text(appended), 'settled', text(appended - held + known))
end
redis.call('HSET', model, 'etag', new_etag, 'state', state, 'fingerprint', fingerprint, 'scores', scores,
  'sequence', sequence, 'since', since, 'origin', origin)
if cursor ~= '' then
  redis.call('HSET', model, 'cursor', cursor, 'saved', cursor)
else
  redis.call('HDEL', model, 'cursor', 'saved')
end
redis.call('HDEL', model, 'attempts', 'suspect', 'until', 'below_since')
count(model, 'revision', 1)
if counter ~= '' then count(model, counter, 1) end
if event ~= '' then
  redis.call('XADD', EVENTS, 'MAXLEN', '~', 1000, '*', 'event', event, 'series', series, 'version', version,
    'cursor', cursor, 'why', why, 'origin', origin)
end
redis.call('ZADD', PENDING, text(now), series)
return {'ok', ring(now, per_claim)}
