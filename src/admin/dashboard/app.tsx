/**
 * The dashboard as a whole: asks for the token where one is set, follows the stream, and lays the panels out.
 */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { since } from "../../shared/figures.js";
import { Cache } from "./cache.jsx";
import { Confirm, type Question } from "./confirm.jsx";
import { Certificates, Events, LogTail } from "./lists.jsx";
import { HealthTimeline, Origins } from "./origins.jsx";
import { announce, take, type View } from "./store.js";
import { follow, type Link, moveTarget, purge, type Scope, type Verb } from "./stream.js";
import { TokenForm } from "./token.jsx";
import { Figures, Latency, Reuse, Routes, Traffic, Trouble, Workers } from "./traffic.jsx";

/** The token is kept for this tab alone, and gone with it. */
const TOKEN_KEY = "millrace-token";
/** Changes are told to listeners at most this often, in ms. */
const ANNOUNCE_MS = 5000;

export function App({ asksToken }: { readonly asksToken: boolean }) {
  const [token, setToken] = useState(asksToken ? sessionStorage.getItem(TOKEN_KEY) : "");
  const [isRefused, setIsRefused] = useState(false);
  const refuse = useCallback(() => {
    sessionStorage.removeItem(TOKEN_KEY);
    setIsRefused(true);
    setToken(null);
  }, []);
  if (token !== null) return <Dashboard token={token} handleRefusal={refuse} />;
  const enter = (given: string) => {
    sessionStorage.setItem(TOKEN_KEY, given);
    setIsRefused(false);
    setToken(given);
  };
  return <TokenForm isRefused={isRefused} handleToken={enter} />;
}

interface DashboardProps {
  readonly token: string;
  readonly handleRefusal: () => void;
}

function Dashboard({ token, handleRefusal }: DashboardProps) {
  const [isPaused, setIsPaused] = useState(false);
  const { view, link } = useStream(token, isPaused, handleRefusal);
  const [question, setQuestion] = useState<Question | null>(null);
  const [outcome, setOutcome] = useState("");
  const said = useAnnouncements(view, link);
  useTitle(view, link);
  const askMove = (verb: Verb, origin: string, target: string) =>
    setQuestion(questionOfMove(token, verb, origin, target));
  const askPurge = (scope: Scope, name: string) => setQuestion(questionOfPurge(token, scope, name));
  const act = async ({ run, done }: Question) => {
    setQuestion(null);
    setOutcome((await run()) ?? done);
  };
  return (
    <>
      <a class="skip" href="#panels">
        To the panels
      </a>
      <Header view={view} link={link} isPaused={isPaused} handlePause={() => setIsPaused(!isPaused)} />
      <p class="outcome" role="status">
        {outcome}
      </p>
      <p class="unseen" role="status">
        {said}
      </p>
      <main id="panels" tabIndex={-1}>
        {view === null ? (
          <p class="empty">Waiting for the first sample …</p>
        ) : (
          <Panels view={view} handleAsk={askMove} handlePurge={askPurge} />
        )}
      </main>
      <Confirm question={question} handleNo={() => setQuestion(null)} handleYes={act} />
    </>
  );
}

function questionOfMove(token: string, verb: Verb, origin: string, target: string): Question {
  const isDrain = verb === "drain";
  const act = isDrain ? "Drain" : "Bring back";
  return {
    title: `${act} ${target} of ${origin}?`,
    says: isDrain
      ? "It gets no new requests; those under way finish, then its connections close."
      : "It gets requests again.",
    act,
    run: () => moveTarget(token, origin, target, verb),
    done: `Target ${target} of ${origin} ${isDrain ? "drains" : "is back in use"}.`,
  };
}

function questionOfPurge(token: string, scope: Scope, name: string): Question {
  const what = { url: name, prefix: `all that begins with ${name}`, tag: `tag ${name}`, everything: "everything" }[
    scope
  ];
  return {
    title: `Purge ${what}?`,
    says: "What is kept of it is gone at once, from memory and from the store; the next requests go to the origin.",
    act: "Purge",
    run: () => purge(token, scope, name),
    done: `Purged: ${what}.`,
  };
}

interface PanelsProps {
  readonly view: View;
  readonly handleAsk: (verb: Verb, origin: string, target: string) => void;
  readonly handlePurge: (scope: Scope, name: string) => void;
}

function Panels({ view, handleAsk, handlePurge }: PanelsProps) {
  return (
    <>
      <Figures view={view} />
      <Traffic points={view.points} />
      <Latency points={view.points} subBits={view.subBits} />
      <Routes routes={view.routes} />
      <Workers workers={view.model.workers} />
      <Reuse origin={view.model.origin} />
      <Trouble model={view.model} />
      {view.model.cache !== null && <Cache cache={view.model.cache} top={view.cacheTop} handlePurge={handlePurge} />}
      <Origins targets={view.targets} untold={view.untold} handleAsk={handleAsk} />
      <HealthTimeline targets={view.targets} uptimeMs={view.model.uptimeMs} />
      <Events events={view.events} />
      <Certificates report={view.certificates} />
      <LogTail lines={view.log} />
    </>
  );
}

interface HeaderProps {
  readonly view: View | null;
  readonly link: Link;
  readonly isPaused: boolean;
  readonly handlePause: () => void;
}

function Header({ view, link, isPaused, handlePause }: HeaderProps) {
  return (
    <header>
      <h1>Millrace</h1>
      <Badge view={view} link={link} />
      {view !== null && (
        <p class="facts">
          <span>version {view.model.version}</span>
          <span>up {since(view.model.uptimeMs)}</span>
          <span>plan {view.model.generation}</span>
        </p>
      )}
      <button type="button" aria-pressed={isPaused} onClick={handlePause}>
        Pause
      </button>
    </header>
  );
}

function Badge({ view, link }: Pick<HeaderProps, "view" | "link">) {
  if (link === "lost") return <p class="badge bad">■ no answer, trying again</p>;
  if (view === null) return <p class="badge">connecting</p>;
  const why = view.model.whyNotReady;
  return why === null ? <p class="badge good">● ready</p> : <p class="badge bad">■ not ready: {why}</p>;
}

/** What the stream has told. While paused it is read on, and shown when the pause ends. */
function useStream(token: string, isPaused: boolean, handleRefusal: () => void) {
  const latest = useRef<View | null>(null);
  const paused = useRef(isPaused);
  const [view, setView] = useState<View | null>(null);
  const [link, setLink] = useState<Link>("connecting");
  paused.current = isPaused;
  useEffect(() => {
    if (!isPaused) setView(latest.current);
  }, [isPaused]);
  useEffect(
    () =>
      follow(token, {
        handleLine: (line) => {
          latest.current = take(latest.current, line);
          if (!paused.current) setView(latest.current);
        },
        handleLink: (now) => (now === "refused" ? handleRefusal() : setLink(now)),
      }),
    [token, handleRefusal],
  );
  return { view, link };
}

/** What is read out: changes of weight only, and not one upon the other. */
function useAnnouncements(view: View | null, link: Link): string {
  const [said, setSaid] = useState("");
  /** When it was last too early to say something. */
  const [turn, setTurn] = useState(0);
  const told = useRef<{ readonly view: View | null; readonly link: Link; readonly atMs: number }>({
    view: null,
    link: "connecting",
    atMs: Number.NEGATIVE_INFINITY,
  });
  useEffect(() => {
    const { view: before, link: linkBefore, atMs } = told.current;
    const nowMs = performance.now();
    if (nowMs - atMs < ANNOUNCE_MS) {
      const timer = setTimeout(() => setTurn(nowMs), ANNOUNCE_MS - (nowMs - atMs));
      return () => clearTimeout(timer);
    }
    const isLost = link === "lost" && linkBefore !== "lost";
    const news = isLost ? "The proxy does not answer." : before && view ? announce(before, view) : null;
    if (news !== null) setSaid(news);
    told.current = { view, link, atMs: news === null ? atMs : nowMs };
    return undefined;
  }, [view, link, turn]);
  return said;
}

function useTitle(view: View | null, link: Link): void {
  useEffect(() => {
    const isWell = link === "open" && view?.model.whyNotReady === null;
    document.title = isWell ? "Millrace" : "■ Millrace";
  }, [view?.model.whyNotReady, link]);
}
