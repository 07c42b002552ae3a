-- The requests of a run, in their order, again and again: wrk -t1 -c32 -d{{seconds}}s --latency -s wrk.lua {{url}}
-- wrk keeps no rate: each connection sends its next request when it has the answer.
local bodies = { {{bodies}} }
local requests, at = {}, 0

local lines = [{{level}}[
{{lines}}]{{level}}]

function init()
  for line in lines:gmatch("[^\n]+") do
    local method, target, body, fields = line:match("^(%S+)\t(%S+)\t(%d+)\t(.*)$")
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    for name, value in fields:gmatch("([^\t:]+): ([^\t]*)") do headers[name] = value end
    requests[#requests + 1] = wrk.format(method, target, headers, bodies[tonumber(body)])
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
