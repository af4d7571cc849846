-- Drives wrk for the benchmarks. Arguments: a file of requests, one a line, as METHOD TAB PATH TAB TOKEN TAB HEADERS TAB BODY, with
-- headers as "Name: value" separated by "|"; the text that every valid response contains; "once" if each request may be sent only
-- once; the number of threads, among which the lines are divided; and the expected status. At the end it prints one line that
-- starts with RESULT.
local threads = {}

function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end

function init(args)
  local file, count = args[1], tonumber(args[4])
  wanted, once, good = args[2], args[3] == "once", tonumber(args[5])
  requests, position, bad, sample, exhausted = {}, 0, 0, "", false
  local number = 0
  for line in io.lines(file) do
    if number % count == id % count or not once then
      local method, path, token, others, body = line:match("^(%S+)\t(%S+)\t(%S*)\t([^\t]*)\t(.*)$")
      local headers = { ["Host"] = wrk.headers["Host"] }
      if token ~= "" then headers["X-Auth-Token"] = token end
      if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
      for name, value in others:gmatch("([^|:]+): ([^|]*)") do headers[name] = value end
      table.insert(requests, wrk.format(method, path, headers, body))
    end
    number = number + 1
  end
  -- Two threads that start together would request the same rows at the same time.
  if not once then position = math.floor(#requests * id / count) end
end

function request()
  position = position + 1
  if position > #requests then
    position = 1
    if once then exhausted = true end
  end
  return requests[position]
end

function response(status, headers, body)
  if status ~= good or not body:find(wanted, 1, true) or good == 200 and body:find('"errors"', 1, true) then
    -- After the last request they are sent again. Those are refused, so they are not counted.
    if not exhausted then
      bad = bad + 1
      if sample == "" then sample = status .. " " .. body:sub(1, 300):gsub("%s+", " ") end
    end
  end
end

function done(summary, latency, requests)
  local bad, sample, exhausted = 0, "", 0
  for _, thread in ipairs(threads) do
    bad = bad + thread:get("bad")
    if sample == "" then sample = thread:get("sample") end
    if thread:get("exhausted") then exhausted = 1 end
  end
  local errors = summary.errors
  io.write(string.format("RESULT requests=%d microseconds=%d p50=%d p99=%d failed=%d bad=%d exhausted=%d sample=%s\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, bad, exhausted, sample))
end
