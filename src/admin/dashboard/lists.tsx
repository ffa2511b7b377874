/**
 * The panels that are lists: events, certificates, the end of the process log.
 */
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { CertificateReading, CertificatesReport } from "../../control/certificate-report.js";
import type { LiveEvent } from "../../control/live-frames.js";
import type { TailLine } from "../../shared/log-tail.js";
import { Panel } from "./panel.jsx";
import { readLine, timeOf } from "./store.js";

const KINDS: Readonly<Record<LiveEvent["kind"], string>> = { health: "health", plan: "reload", restart: "restart" };

export function Events({ events }: { readonly events: readonly LiveEvent[] }) {
  return (
    <Panel id="events" title="Events">
      {events.length === 0 && <p class="empty">Nothing happened yet.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <ol class="scroll" tabIndex={0} aria-labelledby="events-title">
        {events.map(({ at, kind, isTrouble, says }) => (
          <li key={`${at} ${says}`} class={isTrouble ? "trouble" : ""}>
            <time dateTime={at}>{timeOf(at)}</time> <span class="kind">{KINDS[kind]}</span> {says}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** Days below which a certificate wants attention. */
const DAYS_SOON = 14;

function daysClass({ daysLeft }: CertificateReading): string {
  return daysLeft < 0 ? "bad" : daysLeft < DAYS_SOON ? "warn" : "";
}

export function Certificates({ report }: { readonly report: CertificatesReport }) {
  const served = report.listeners.flatMap(({ listener, certificates }) =>
    certificates.map((certificate) => ({ where: `listener ${listener}`, certificate })),
  );
  const shown = report.origins.map(({ origin, certificate }) => ({ where: `origin ${origin}`, certificate }));
  const all = [...served, ...shown].sort((a, b) => a.certificate.daysLeft - b.certificate.daysLeft);
  return (
    <Panel id="certificates" title="Certificates">
      {all.length === 0 ? (
        <p class="empty">No listener speaks TLS, and no origin is shown a certificate.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Names</th>
              <th scope="col">Days left</th>
              <th scope="col">Where</th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ where, certificate }) => (
              <tr key={`${where} ${certificate.file}`}>
                <th scope="row">{certificate.names.join(", ")}</th>
                <td class={daysClass(certificate)}>
                  {certificate.daysLeft < 0 ? `over since ${-certificate.daysLeft}` : certificate.daysLeft}
                  {certificate.trouble !== null && <div class="bad">{certificate.trouble}</div>}
                </td>
                <td>{where}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

export function LogTail({ lines }: { readonly lines: readonly TailLine[] }) {
  const place = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => lines.map(({ number, text }) => ({ number, ...readLine(text) })), [lines]);
  const last = lines.at(-1)?.number;
  useEffect(() => {
    const element = place.current;
    // Whoever has scrolled up is reading there.
    if (element !== null && element.scrollHeight - element.scrollTop - element.clientHeight < 80) {
      element.scrollTop = element.scrollHeight;
    }
  }, [last]);
  return (
    <Panel id="log" title="Process log" isWide>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div class="log scroll" ref={place} role="log" aria-live="off" tabIndex={0} aria-labelledby="log-title">
        {shown.length === 0 && <p class="empty">The log has said nothing yet.</p>}
        {shown.map(({ number, at, level, says }) => (
          <p key={number} class={level}>
            <time>{at}</time> <span class="level">{level}</span> {says}
          </p>
        ))}
      </div>
    </Panel>
  );
}
