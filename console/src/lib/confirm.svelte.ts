/** A question before what cannot be undone: `if (await confirm({ title, text, yes })) …`. The title names the thing. */

export interface Question {
  title: string;
  text?: string;
  /** The button that does it. */
  yes: string;
  danger?: boolean;
  /** A reason that must be given; its label. */
  reason?: string;
}

export const asked = $state<{ question: Question | null; answer: ((reason: string | null) => void) | null }>({ question: null, answer: null });

/** The reason given ('' where none is asked for) as `{ reason }`, or null where the person thought better of it. */
export function confirm(question: Question): Promise<{ reason: string } | null> {
  asked.answer?.(null);
  return new Promise((resolve) => {
    asked.question = question;
    asked.answer = (reason) => {
      asked.question = null;
      asked.answer = null;
      resolve(reason === null ? null : { reason });
    };
  });
}
