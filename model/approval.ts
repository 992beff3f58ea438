/** A person's consent to one plan on one system for a time. What is signed is the text of the file, byte for byte. */

/** `from`, `until`: RFC 3339 UTC. */
export interface Approval {
  readonly formatVersion: 1;
  /** SHA-256 of the plan's canonical JSON, in hex. */
  readonly planSha256: string;
  readonly systemIdentifier: string;
  readonly from: string;
  readonly until: string;
  /** Who approves, by the name that the allowed-signers file knows. */
  readonly approver: string;
}

/** As it travels: the file's text and the SSHSIG over it, both verbatim. */
export interface SignedApproval {
  readonly text: string;
  readonly signature: string;
}
