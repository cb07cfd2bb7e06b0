/** Routes of an organization's policy: members read it and try changes, admins save them. */
import express, { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { POLICY_TEXT_CHARACTERS } from '../../protocol/limits.ts'
import type { RegistryContext } from '../context.ts'
import type { PolicyCheck } from '../policy.ts'
import { parseInput } from '../problem.ts'
import { requireRole } from '../roles.ts'
import { formError } from './form-error.ts'
import { sendPage } from './guard.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'
import { QUESTION_CHARACTERS, renderPolicy } from './policy-page.ts'

/** Bytes of the form: every character may be three of them, each written with three more. */
const MAX_FORM_BYTES = POLICY_TEXT_CHARACTERS * 9
/** Policies of before that are shown. */
const BEFORE = 20

/** To be asked before the parser of smaller forms. */
export const policyForms: RequestHandler = express.urlencoded({
  extended: false,
  limit: MAX_FORM_BYTES,
  parameterLimit: 8,
})

const wanted = z.object({
  // As a text is kept everywhere else: forms end lines with CRLF.
  text: z
    .string()
    .transform((text) => text.replaceAll('\r\n', '\n'))
    .pipe(z.string().max(POLICY_TEXT_CHARACTERS)),
  revision: z.coerce.number().int().nonnegative(),
  question: z.string().trim().max(QUESTION_CHARACTERS).default(''),
  do: z.enum(['check', 'save']),
})
type Wanted = z.output<typeof wanted>

/** Under /organizations/<id>. */
export function policyRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  router.get(
    '/policy',
    forMembers(context, parts, (visit) => show(context, parts, visit)),
  )
  router.post(
    '/policy',
    forMembers(context, parts, async (visit) => {
      const form = parseInput(wanted, visit.request.body)
      try {
        await (form.do === 'save' ? save : check)(context, parts, visit, form)
      } catch (error) {
        await show(context, parts, visit, { form, error: formError(error) })
      }
    }),
  )
  return router
}

async function check(
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
  form: Wanted,
): Promise<void> {
  const { text, question } = form
  const asked = { text, question: question === '' ? undefined : question }
  const found = await parts.people.policies.check(visit.organization.id, asked)
  await show(context, parts, visit, { form, check: found })
}

async function save(
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
  { text, revision }: Wanted,
): Promise<void> {
  requireRole(visit.role, 'admin')
  await parts.people.policies.save(visit.organization.id, visit.act, { text, revision })
  await show(context, parts, visit, { saved: true })
}

async function show(
  { clock }: RegistryContext,
  { people: { policies } }: PageParts,
  { response, who, organization, role }: OrganizationVisit,
  also: {
    /** What stands in the form; absent: the policy in force. */
    readonly form?: Wanted
    readonly check?: PolicyCheck
    readonly error?: string
    readonly saved?: boolean
  } = {},
): Promise<void> {
  const { form, ...rest } = also
  const { revision, text } = form ?? (await policies.current(organization.id))
  const { items } = await policies.history(organization.id, { limit: BEFORE })
  const page = renderPolicy({
    ...{ viewer: who, organization, role, revision, text, now: clock.now(), ...rest },
    question: form?.question ?? '',
    history: items.filter((each) => each.revision < revision),
  })
  sendPage(response, page, also.error === undefined ? 200 : 422)
}
