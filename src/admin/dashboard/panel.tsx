/**
 * The frame of a panel, and the small parts that several panels share.
 */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

interface PanelProps {
  readonly id: string;
  readonly title: string;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}

export function Panel({ id, title, isWide = false, children }: PanelProps) {
  return (
    <section class={isWide ? "panel wide" : "panel"} id={id} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>{title}</h2>
      {children}
    </section>
  );
}

/** A share of the widest, drawn; the figure stands beside it in text. */
export function Bar({ share, kind = "plain" }: { readonly share: number; readonly kind?: string }) {
  return (
    <span class="bar" aria-hidden="true">
      <span class={`fill ${kind}`} style={{ width: `${Math.round(Math.min(1, Math.max(0, share)) * 100)}%` }} />
    </span>
  );
}

interface AsTableProps {
  readonly title: string;
  readonly headings: readonly string[];
  /** Asked for only while the table is open. */
  readonly rows: () => readonly (readonly string[])[];
}

/** The same figures as the chart above, for whoever does not see it. */
export function AsTable({ title, headings, rows }: AsTableProps) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>{title} as a table</summary>
      {isOpen && (
        <table>
          <thead>
            <tr>
              {headings.map((heading) => (
                <th scope="col" key={heading}>
                  {heading}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows().map(([first, ...rest]) => (
              <tr key={first}>
                <th scope="row">{first}</th>
                {rest.map((cell, at) => (
                  <td key={headings[at]}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}

const MARKS: Readonly<Record<string, string>> = { up: "●", suspect: "▲", draining: "▽", down: "■" };

/** A state in words, with a mark of its own, so that colour says nothing alone. */
export function State({ state }: { readonly state: string }) {
  return (
    <span class={`state ${state}`}>
      <span aria-hidden="true">{MARKS[state] ?? "○"}</span> {state}
    </span>
  );
}
