-- For wrk: the paths in the file that its first argument names, at random.
local requests = {}

function init(args)
  math.randomseed(os.time())
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, path)
  end
end

function request()
  return requests[math.random(#requests)]
end
