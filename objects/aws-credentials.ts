/** Credentials as the AWS SDK finds them by itself: environment, profile, web identity, container or instance role. Looked up anew each time; never kept. */
import { S3Client } from '@aws-sdk/client-s3';

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Throws what the SDK throws when there are none. */
export async function findAwsCredentials(region: string): Promise<AwsCredentials> {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const client = new S3Client({ region });
  try {
    return await client.config.credentials();
  } finally {
    client.destroy();
  }
}
