/** What every handler of ours has in common. */
import type { Connection, Stream } from '@libp2p/interface'
import type { Link, Links } from './links.ts'
import type { MeshNode } from './node.ts'

/** Registers a handler that runs on links only, relayed ones too. The stream is aborted when it throws. */
export async function serve(
  mesh: MeshNode,
  links: Links,
  protocol: string,
  limits: { readonly maxInboundStreams: number },
  serveLink: (stream: Stream, link: Link) => Promise<void> | void,
  onFault: (link: Link, error: unknown) => void,
): Promise<void> {
  await mesh.node.handle(
    protocol,
    async (stream, connection: Connection) => {
      const link = links.of(connection)
      if (link === undefined) return stream.abort(new Error('not a link'))
      try {
        await serveLink(stream, link)
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(String(error)))
        onFault(link, error)
      }
    },
    { runOnLimitedConnection: true, ...limits },
  )
}
