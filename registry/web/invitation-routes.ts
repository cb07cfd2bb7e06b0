/** What an invited user sees: the page of an invitation's link, and yes or no to one by e-mail address. */
import { type Request, type RequestHandler, Router } from 'express'
import type { RegistryContext } from '../context.ts'
import { actOf } from '../http-act.ts'
import type { Invitation } from '../invitations.ts'
import { ProblemError } from '../problem.ts'
import { when } from './format.ts'
import { forUsers, sendPage } from './guard.ts'
import { html } from './html.ts'
import { renderPage, type Viewer } from './layout.ts'
import type { PageParts } from './pages.ts'

export function invitationRoutes(
  { clock }: RegistryContext,
  { identity, people }: PageParts,
): RequestHandler {
  const { invitations } = people
  const router = Router()
  const secretOf = (request: Request) => String(request.params['secret'])
  router.get(
    '/:secret',
    forUsers(identity, async (request, response, who) => {
      const invitation = await invitations.ofLink(secretOf(request))
      if (invitation.accepted || invitation.expiresAt <= clock.now()) {
        throw new ProblemError(
          410,
          'invitation-over',
          'the invitation is used or over: ask for another',
        )
      }
      const action = `/invitations/${secretOf(request)}`
      sendPage(
        response,
        renderInvitation(who, invitation, action, when(invitation.expiresAt, clock.now())),
      )
    }),
  )
  router.post(
    '/:secret',
    forUsers(identity, async (request, response, who) => {
      const act = actOf(request, who, clock.now())
      const organization = await invitations.acceptLink(act, secretOf(request))
      response.redirect(303, `/organizations/${organization}`)
    }),
  )
  router.post(
    '/by-address/:id/:answer',
    forUsers(identity, async (request, response, who) => {
      const act = actOf(request, who, clock.now())
      const id = String(request.params['id'])
      if (request.params['answer'] === 'decline') {
        await invitations.decline(act, id)
        return response.redirect(303, '/')
      }
      response.redirect(303, `/organizations/${await invitations.accept(act, id)}`)
    }),
  )
  return router
}

function renderInvitation(
  viewer: Viewer,
  { organizationName, role, invitedBy }: Invitation,
  action: string,
  ends: ReturnType<typeof html>,
): string {
  return renderPage({
    title: 'Invitation',
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>Join ${organizationName}?</h1>
<p><strong>${invitedBy}</strong> invites you as <strong>${role}</strong>. The invitation ends ${ends}.</p>
<form method="post" action="${action}" class="actions"><button class="primary">Join</button><a class="button" href="/">Not now</a></form>
</section>`,
  })
}
