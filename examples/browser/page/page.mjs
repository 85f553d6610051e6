/** The page: a question, the answer as it is written, and what happened on the way. */
import { JobStream } from './job-stream.mjs';

const element = (id) => document.getElementById(id);
const answer = element('answer');

/** @type {JobStream | undefined} */
let stream;
let startedAt = 0;
let isCut = false;
let pieces = 0;

element('question').addEventListener('submit', (event) => {
  event.preventDefault();
  void ask(element('prompt').value);
});
// The job's id is in the address: a page that is loaded again shows the same answer.
window.addEventListener('hashchange', followAddress);
followAddress();

async function ask(prompt) {
  const button = element('question').querySelector('button');
  button.disabled = true;
  showProblem('');
  try {
    const job = await submit(prompt);
    location.hash = job.id;
  } catch (error) {
    showProblem(error.message);
  } finally {
    button.disabled = false;
  }
}

/** @throws with words for the user */
async function submit(prompt) {
  const response = await fetch('/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({ prompt }),
  }).catch(() => {
    throw new Error('The question was not sent: the server cannot be reached.');
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `The answer was ${response.status}.`);
  return body;
}

function followAddress() {
  const jobId = decodeURIComponent(location.hash.slice(1));
  stream?.stop();
  element('job').hidden = jobId === '';
  if (jobId === '') return showConnection('idle', 'nothing to follow');
  begin(jobId);
  stream = new JobStream(jobId, { opened, lost, text, restarted, running, ended, gone });
}

function begin(jobId) {
  startedAt = performance.now();
  isCut = false;
  clearAnswer();
  answer.dataset.writing = 'true';
  element('events').replaceChildren();
  element('outcome').hidden = true;
  element('job-id').textContent = jobId;
  showProblem('');
  showStatus('queued');
  showConnection('connecting', 'connecting …');
}

function opened(after) {
  showConnection('live', 'live');
  if (!isCut) return note('good', 'Connected');
  note('good', after === '' ? 'Connected again' : `Connected again, after ${placeOf(after)}`);
}

/** An EventSource tells of each try that failed; one line says it. */
function lost() {
  showConnection('lost', 'connection lost, trying again …');
  if (isCut) return;
  isCut = true;
  note('warn', `Connection lost at ${charactersOf(answer.textContent)}`);
}

function text(more, kind) {
  if (kind === 'snapshot') {
    clearAnswer();
    note('', `Snapshot of ${charactersOf(more)}`);
  } else if (isCut && answer.textContent !== '') {
    markCut();
  }
  isCut = false;
  const isAtEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 40;
  answer.append(more);
  if (isAtEnd) answer.scrollTop = answer.scrollHeight;
  pieces += 1;
  element('counts').textContent = `${pieces} pieces, ${charactersOf(answer.textContent)}`;
}

function restarted() {
  clearAnswer();
  note('warn', 'Another attempt begins the answer again');
}

/** Each connection tells of it. */
function running() {
  if (element('status').dataset.status === 'running') return;
  showStatus('running');
  note('', 'A worker asks Claude');
}

function ended(job) {
  const told = answer.textContent;
  answer.dataset.writing = 'false';
  showStatus(job.status);
  showConnection('idle', 'the stream has ended');
  const succeeded = job.status === 'succeeded';
  note(succeeded ? 'good' : 'bad', `The job has ${pastOf(job.status)}`);
  // What counts is the result: it is there even when the text could not be told in pieces.
  if (succeeded && told !== job.result) answer.textContent = job.result;
  showOutcome(job, told);
}

function gone(reason) {
  element('job').hidden = true;
  showConnection('idle', 'nothing to follow');
  showProblem(reason);
}

function showOutcome({ status, result, error }, told) {
  const outcome = element('outcome');
  outcome.hidden = false;
  outcome.dataset.status = status;
  outcome.dataset.streamed = String(told === result);
  if (status !== 'succeeded') {
    outcome.textContent = error === undefined ? `It has ${pastOf(status)}.` : error.detail;
  } else if (told === result) {
    outcome.textContent = `✓ ${charactersOf(told)} came piece by piece, and are the result.`;
  } else {
    outcome.textContent = `✓ The result, which came whole: ${charactersOf(result)}.`;
  }
}

function markCut() {
  const mark = document.createElement('span');
  mark.className = 'cut';
  mark.title = 'Here the connection broke, and the stream went on';
  answer.append(mark);
}

function clearAnswer() {
  answer.replaceChildren();
  pieces = 0;
  element('counts').textContent = '';
}

function note(kind, words) {
  const line = document.createElement('li');
  const time = document.createElement('time');
  const what = document.createElement('span');
  time.textContent = `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`;
  what.textContent = words;
  line.className = kind;
  line.append(time, what);
  element('events').append(line);
}

function showConnection(state, words) {
  element('connection').dataset.state = state;
  element('connection').textContent = words;
}

function showStatus(status) {
  element('status').dataset.status = status;
  element('status').textContent = status;
}

function showProblem(words) {
  element('problem').hidden = words === '';
  element('problem').textContent = words;
}

/** The last number of an id: how much of the text came before it. */
function placeOf(eventId) {
  const end = /\.(\d+)(?:~.*)?$/.exec(eventId)?.[1];
  return end === undefined ? 'its last event' : `character ${counted(Number(end))}`;
}

const counted = (number) => number.toLocaleString('en');
const charactersOf = (words) => `${counted(words.length)} characters`;

function pastOf(status) {
  return status === 'cancelled' ? 'been cancelled' : status;
}
