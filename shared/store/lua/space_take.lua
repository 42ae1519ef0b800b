-- include: space
-- Take so many bytes for a file, or change how many. KEYS: the tenant's hash. ARGV: file, bytes, how
-- many the tenant may have in all (0: any number), how many of them have still to come, how many the
-- disk has room for beside what it has (empty: nobody can tell), for how many milliseconds (0: for
-- good). Answers the tenant's bytes.
local file, size, due = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local most, room, lease = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local name = KEYS[1] .. '|' .. file
local had, was_due = amount(KEYS[1], file), amount(DUE, name)
local all = amount(KEYS[1], 'total') - had + size
if size > had and most > 0 and all > most then
  return refuse('QUOTA', string.format('%.0f of %.0f bytes are taken', all - size, most))
end
if room and due > was_due and amount(DUE, 'total') - was_due + due > room then
  return refuse('FULL', 'there is no room for so many bytes')
end
set(KEYS[1], file, size)
set(DUE, name, due)
if lease > 0 then redis.call('ZADD', LEASES, NOW + lease, name)
else redis.call('ZREM', LEASES, name) end
return string.format('%.0f', all)
