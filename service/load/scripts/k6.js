// The requests of requests.jsonl at a constant rate: k6 run k6.js
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import http from 'k6/http';
import { SharedArray } from 'k6/data';

const URL = {{origin}};
const NAMES = {{bodies}};
const bodies = new SharedArray('bodies', () => NAMES.map((name) => encoding.b64encode(open(`./${name}`, 'b'))));
const requests = new SharedArray('requests', () => open('./requests.jsonl').trim().split('\n').map((line) => JSON.parse(line)));

http.setResponseCallback(http.expectedStatuses({{statuses}}));

export const options = {
  discardResponseBodies: true,
  scenarios: {
    load: {
      executor: 'constant-arrival-rate', rate: {{requests}}, timeUnit: '{{milliseconds}}ms', duration: '{{milliseconds}}ms',
      preAllocatedVUs: 50, maxVUs: 3000,
    },
  },
  thresholds: {{thresholds}},
};

export default function () {
  if (exec.scenario.iterationInTest >= requests.length) return; // k6 begins one more at the end
  const request = requests[exec.scenario.iterationInTest];
  const body = request.body ? encoding.b64decode(bodies[NAMES.indexOf(request.body)]) : null;
  const options = { headers: request.fields, redirects: 0, tags: { name: request.method } };
  http.request(request.method, URL + request.target, body, options);
}
