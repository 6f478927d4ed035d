/** Send a file to an incident, telling how far it is: fetch cannot say that. */
import { address, ApiError, proof } from '$lib/api/client';
import type { Attachment } from '$lib/incidents/model';

export interface Sending {
  done: Promise<Attachment>;
  stop: () => void;
}

export function upload(number: number, file: File, tell: (share: number) => void): Sending {
  const asked = new XMLHttpRequest();
  const done = new Promise<Attachment>((resolve, reject) => {
    asked.open('POST', address('/api/v1/incidents/{number}/attachments', { path: { number }, query: { name: file.name } }));
    for (const [name, value] of Object.entries(proof())) asked.setRequestHeader(name, value);
    asked.setRequestHeader('Content-Type', 'application/octet-stream');
    asked.responseType = 'json';
    asked.upload.onprogress = (event) => event.lengthComputable && tell(event.loaded / event.total);
    asked.onload = () => {
      if (asked.status === 201) return resolve(asked.response as Attachment);
      const error = (asked.response as { error?: { code?: string; message?: string; where?: string; hint?: string } } | null)?.error ?? {};
      reject(new ApiError(error.code ?? 'other', error.message ?? asked.statusText, asked.status, error.where, error.hint));
    };
    asked.onerror = () => reject(new ApiError('offline', 'the centre cannot be reached', 0));
    asked.onabort = () => reject(new DOMException('stopped', 'AbortError'));
    asked.send(file);
  });
  return { done, stop: () => asked.abort() };
}
