-- Note the newest MLflow version of one series and the revision it holds, and which is its champion,
-- unless the series has been retired since that was read: then it is gone, or its new life has seen
-- fewer revisions.
local series, version, alias, revision, champion = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local model = MODEL .. series
if redis.call('SISMEMBER', SERIES, series) == 0 then return end
local held = redis.call('HGET', model, 'revision')
if is_whole(held) and tonumber(held or 0) < tonumber(revision) then return end
redis.call('HSET', model, 'snapshot_version', version, 'snapshot_alias', alias, 'snapshot_revision', revision,
  'snapshot_at', text(now_ms()))
add_up(TOTALS, 'snapshots', 1)
if champion ~= '' then
  redis.call('HSET', model, 'champion', champion)
else
  redis.call('HDEL', model, 'champion')
end
