/*
 * problem - RFC 9457 answers, and everything else that can go wrong with a request, as one error.
 */
import { asObject, asText } from './wire';

export class ApiError extends Error {
  constructor(
    readonly status: number, /* 0: the server could not be reached */
    detail: string,
    readonly code = '',
  ) {
    super(detail);
    this.name = 'ApiError';
  }
}

export async function problemOf(answer: Response): Promise<ApiError> {
  const body = asObject(await answer.json().catch(() => null));
  const detail = asText(body['detail']) || asText(body['title']);
  const wait = answer.status === 429 ? answer.headers.get('Retry-After') : null;
  const text = detail || `The server answered ${answer.status} ${answer.statusText}`.trim() + '.';
  return new ApiError(answer.status, wait ? `${text} Try again in ${wait} s.` : text, asText(body['code']));
}

export function sentenceOf(error: unknown): string {
  const text = error instanceof Error && error.message ? error.message : 'Something went wrong';
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
