-- Set something aside that never came to a log: a row of a file or of an exchange.
-- It makes its series known, as a candle does: its count must not stand where nobody looks.
-- Answers 'ok', or 'too_many' where the series would be one more than there may be.
local series, max_series, cap = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if redis.call('SISMEMBER', SERIES, series) == 0 and redis.call('SCARD', SERIES) >= max_series then
  return 'too_many'
end
redis.call('SADD', SERIES, series)
bury(series, ARGV[4], ARGV[5], ARGV[6], cap)
return 'ok'
