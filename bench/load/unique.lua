-- For wrk: each request asks for something that nobody asked for before, in this run or an earlier one.
local first = string.format("%s?n=%d-", wrk.path, os.time())
local number = 0

function request()
  number = number + 1
  return wrk.format(nil, first .. number)
end
