/**
 * Asks before something is moved: a dialog that keeps the focus, and gives it back.
 */
import { useEffect, useRef } from "preact/hooks";

/** What is about to be done. */
export interface Question {
  readonly title: string;
  readonly says: string;
  /** What the button says that does it. */
  readonly act: string;
  /** Null = done, else what is said against it. */
  readonly run: () => Promise<string | null>;
  readonly done: string;
}

interface ConfirmProps {
  readonly question: Question | null;
  readonly handleNo: () => void;
  readonly handleYes: (question: Question) => void;
}

export function Confirm({ question, handleNo, handleYes }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (question === null) dialog.current?.close();
    else dialog.current?.showModal();
  }, [question]);
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" aria-describedby="confirm-says" onClose={handleNo}>
      <h2 id="confirm-title">{question?.title}</h2>
      <p id="confirm-says">{question?.says}</p>
      <div class="choices">
        <button type="button" onClick={handleNo}>
          Cancel
        </button>
        <button type="button" class="act" onClick={() => question !== null && handleYes(question)}>
          {question?.act}
        </button>
      </div>
    </dialog>
  );
}
