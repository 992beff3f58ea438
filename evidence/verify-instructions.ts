/**
 * `VERIFY.txt`: how an auditor checks a bundle with tools that every system has, and without gameday. The file is a shell script with its
 * explanation in comments, so that what is printed is what is tested. It must need no network and write only into a temporary directory.
 */
import {
  EVENTS_FILE,
  PUBLIC_KEY_FILE,
  REGISTRATION_FILE,
  REGISTRATION_TIMESTAMP_FILE,
  SEAL_FILE,
  SEAL_TIMESTAMP_FILE,
  SIGSTORE_FILE,
  SUMS_FILE,
} from './layout';
import { SIGNOFF_NAMESPACE, SIGNOFF_PAYLOAD_TYPE } from './signoff';
import { REGISTRATION_PAYLOAD_TYPE, SEAL_PAYLOAD_TYPE } from './signing';

/** The text for one drill; `fingerprint` is the signer's, as the writer of the bundle knew it. */
export function verifyInstructions(drill: string, fingerprint: string): string {
  return `# How to check the evidence of ${drill} without trusting us.
# Tools: sh, sha256sum, openssl, jq, and base64, find, sort, diff of any system; ssh-keygen for sign-offs. No network.
# Run it whole:   sh VERIFY.txt     (in the bundle's directory), or type the commands one by one.
#
# The key. A signature proves something only about a key you trust. The file ${PUBLIC_KEY_FILE} travels with the bundle, so whoever
# replaced the bundle could replace it too. Compare the fingerprint printed in step 1 with the one you were given by another way:
#   KEY=/path/to/the/key/you/trust.pem sh VERIFY.txt
# The bundle's writer states this fingerprint: ${fingerprint}
set -eu
KEY="\${KEY:-${PUBLIC_KEY_FILE}}"
T="$(mktemp -d)"
trap 'rm -rf "$T"' EXIT

# 1. Fingerprint of the key: SHA-256 of its DER form.
openssl pkey -pubin -in "$KEY" -outform DER | sha256sum | cut -d ' ' -f 1 | sed 's/^/key fingerprint: /'

# 2. The seal's signature (DSSE v1, ECDSA P-256, SHA-256), over the list of all files.
jq -r .payload ${SEAL_FILE} | base64 -d > "$T/seal.json"
jq -r '.signatures[0].sig' ${SEAL_FILE} | base64 -d > "$T/seal.sig"
printf 'DSSEv1 ${SEAL_PAYLOAD_TYPE.length} ${SEAL_PAYLOAD_TYPE} %d ' "$(wc -c < "$T/seal.json")" | cat - "$T/seal.json" > "$T/seal.signed"
openssl dgst -sha256 -verify "$KEY" -signature "$T/seal.sig" "$T/seal.signed"
# Without jq: sed -n 's/.*"payload":"\\([^"]*\\)".*/\\1/p' ${SEAL_FILE}   and   sed -n 's/.*"sig":"\\([^"]*\\)".*/\\1/p' ${SEAL_FILE}

# 3. Every file is what was sealed.
jq -r '.subject[] | "\\(.digest.sha256)  \\(.name)"' "$T/seal.json" | LC_ALL=C sort -k 2 > "$T/sealed"
sha256sum --quiet --strict --check "$T/sealed"
sha256sum --quiet --strict --check ${SUMS_FILE}

# 4. No file was added (sign-offs are made after the seal and are signed on their own).
find . ! -type d ! -path './signoffs/*' ! -path ./${SEAL_FILE} ! -path ./${SIGSTORE_FILE} ! -path ./${SEAL_TIMESTAMP_FILE} | sed 's|^\\./||' | LC_ALL=C sort > "$T/there"
cut -c 67- "$T/sealed" | LC_ALL=C sort | diff - "$T/there"

# 5. The registration, signed before anything was touched.
jq -r .payload ${REGISTRATION_FILE} | base64 -d > "$T/registration.json"
jq -r '.signatures[0].sig' ${REGISTRATION_FILE} | base64 -d > "$T/registration.sig"
printf 'DSSEv1 ${REGISTRATION_PAYLOAD_TYPE.length} ${REGISTRATION_PAYLOAD_TYPE} %d ' "$(wc -c < "$T/registration.json")" | cat - "$T/registration.json" > "$T/registration.signed"
openssl dgst -sha256 -verify "$KEY" -signature "$T/registration.sig" "$T/registration.signed"
test "$(sha256sum < plan.json | cut -d ' ' -f 1)" = "$(jq -r .planSha256 "$T/registration.json")"

# 6. The events: each line names the SHA-256 of the line before it.
P="$(printf '%064d' 0)"
while IFS= read -r LINE; do
  test "$(printf '%s\\n' "$LINE" | jq -r .previousLineSha256)" = "$P" || { echo "${EVENTS_FILE}: the chain breaks after $P"; exit 1; }
  P="$(printf '%s' "$LINE" | sha256sum | cut -d ' ' -f 1)"
done < ${EVENTS_FILE}
test "$(jq -r .predicate.events.lastLineSha256 "$T/seal.json")" = "$P"

# 7. Sign-offs: people's signatures (OpenSSH's) over the digest of the seal. Who they are is told by a file of allowed signers that you trust:
#   SIGNERS=/path/to/allowed_signers sh VERIFY.txt
# Without it only the keys' fingerprints are shown: compare them with those that you were given by another way.
for S in signoffs/*.dsse.json; do
  test -e "$S" || continue
  jq -r .payload "$S" | base64 -d > "$T/signoff.json"
  jq -r '.signatures[0].sig' "$S" | base64 -d > "$T/signoff.sig"
  printf 'DSSEv1 ${SIGNOFF_PAYLOAD_TYPE.length} ${SIGNOFF_PAYLOAD_TYPE} %d ' "$(wc -c < "$T/signoff.json")" | cat - "$T/signoff.json" > "$T/signoff.signed"
  test "$(jq -r .sealSha256 "$T/signoff.json")" = "$(sha256sum < ${SEAL_FILE} | cut -d ' ' -f 1)" || { echo "$S is about another seal"; exit 1; }
  WHO="$(jq -r .signer "$T/signoff.json")"
  if test -n "\${SIGNERS:-}"; then
    ssh-keygen -Y verify -f "$SIGNERS" -I "$WHO" -n ${SIGNOFF_NAMESPACE} -s "$T/signoff.sig" < "$T/signoff.signed"
  else
    ssh-keygen -Y check-novalidate -n ${SIGNOFF_NAMESPACE} -s "$T/signoff.sig" < "$T/signoff.signed" | sed "s|^|$S, $WHO: |"
  fi
  test "$WHO" != "$(jq -r .startedBy "$T/registration.json")" || { echo "$S is by who started the drill"; exit 1; }
done

# 8. Timestamps (RFC 3161), where the bundle has them, by the certificates of an authority that you trust:
#   TSA=/path/to/ca.pem sh VERIFY.txt
if test -n "\${TSA:-}"; then
  openssl ts -verify -data ${REGISTRATION_FILE} -in ${REGISTRATION_TIMESTAMP_FILE} -CAfile "$TSA"
  test ! -e ${SEAL_TIMESTAMP_FILE} || openssl ts -verify -data ${SEAL_FILE} -in ${SEAL_TIMESTAMP_FILE} -CAfile "$TSA"
fi

echo "${drill}: every check holds, for the key with the fingerprint above"
`;
}
