/**
 * Asks before something is moved: a dialog that keeps the focus, and gives it back.
 */
import { useEffect, useRef } from "preact/hooks";
import type { Verb } from "./stream.js";

/** What is about to be done. */
export interface Question {
  readonly verb: Verb;
  readonly origin: string;
  readonly target: string;
}

interface ConfirmProps {
  readonly question: Question | null;
  readonly handleNo: () => void;
  readonly handleYes: (question: Question) => void;
}

const SAYS: Readonly<Record<Verb, string>> = {
  drain: "It gets no new requests; those under way finish, then its connections close.",
  undrain: "It gets requests again.",
};

export function Confirm({ question, handleNo, handleYes }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (question === null) dialog.current?.close();
    else dialog.current?.showModal();
  }, [question]);
  const verb = question?.verb ?? "drain";
  const title = verb === "drain" ? "Drain" : "Bring back";
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" aria-describedby="confirm-says" onClose={handleNo}>
      <h2 id="confirm-title">
        {title} {question?.target} of {question?.origin}?
      </h2>
      <p id="confirm-says">{SAYS[verb]}</p>
      <div class="choices">
        <button type="button" onClick={handleNo}>
          Cancel
        </button>
        <button type="button" class="act" onClick={() => question !== null && handleYes(question)}>
          {title}
        </button>
      </div>
    </dialog>
  );
}
