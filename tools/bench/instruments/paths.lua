-- For wrk: the paths in the file that its first argument names, in their order, again and again.
local requests, at = {}, 0

function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, path)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
