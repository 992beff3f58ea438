/**
 * The transport under toxiproxy-node-client: the client's own never gives up, and Toxiproxy's API can block for good on one lock.
 * Here every request has a deadline, and a refusal keeps its status, so that "not there" differs from "broken".
 */
import { HttpClient, type HttpResponse } from 'toxiproxy-node-client/dist/HttpClient';
import { GamedayError, messageOf } from '../../core/errors';

/** Two seconds in all, then the caller climbs the ladder (design: "after 2 s in all restarts the Toxiproxy process"). */
const REQUEST_TIMEOUT_MS = 2_000;

/** Toxiproxy answered, and said no. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(
    readonly status: number,
    body: string,
  ) {
    super(`Toxiproxy answered ${status} ${body.trim().slice(0, 300)}`);
  }
}

export class BoundedHttp extends HttpClient {
  override async get<T>(url: string): Promise<HttpResponse<T>> {
    return { data: JSON.parse(await this.send('GET', url)) as T };
  }

  override async post<T>(url: string, body?: unknown): Promise<HttpResponse<T>> {
    const text = await this.send('POST', url, body);
    return { data: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  override async delete(url: string): Promise<void> {
    await this.send('DELETE', url);
  }

  override getText(url: string): Promise<string> {
    return this.send('GET', url);
  }

  /** Throws `Refused` for any status but 2xx, `link_unreachable` when nobody answers in time. */
  private async send(method: string, url: string, body?: unknown): Promise<string> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        method,
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        headers: { 'user-agent': 'gameday', connection: 'close' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
      throw new GamedayError('link_unreachable', `${method} ${url}: ${messageOf(error)}${cause}`, null, { cause: error });
    }
    if (!response.ok) throw new Refused(response.status, text);
    return text;
  }
}
