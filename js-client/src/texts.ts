/**
 * The payer's texts: calm and short, for a reader who has just sent money; never "failed". While the payment may
 * still arrive they advise "do not pay again". Knows no DOM.
 */

export type Language = 'es' | 'en' | 'pt';

/** Everything that the element can show; each is also a value of its `state` attribute. */
export type View =
  | 'connecting'
  | 'pending'
  | 'not-seen'
  | 'verifying'
  | 'verifying-longer'
  | 'verifying-later'
  | 'offline'
  | 'confirmed'
  | 'late'
  | 'expired'
  | 'rejected'
  | 'cancelled'
  | 'reversed'
  | 'unavailable';

/** The advice stands out before the text, because the payer must not miss it. */
type Text = readonly [title: string, text: string, advice?: string];

/** The first supported language of the BCP 47 tags in `tags`; else the Spanish of Chile. */
export function languageOf(tags: readonly (string | null | undefined)[]): Language {
  const known = tags.map((tag) => tag?.slice(0, 2).toLowerCase()).find((tag) => tag && tag in texts);
  return (known as Language | undefined) ?? 'es';
}

/** The text of the link to resume the payment. */
export const resume: Record<Language, string> = {
  es: 'Retomar el pago',
  en: 'Resume the payment',
  pt: 'Retomar o pagamento',
};

const advice = { es: 'No pagues de nuevo.', en: 'Do not pay again.', pt: 'Não pague de novo.' };

export const texts: Record<Language, Record<View, Text>> = {
  es: {
    connecting: ['Consultando tu pago', 'Un momento, por favor.', advice.es],
    pending: ['Esperando tu transferencia', 'Si ya la hiciste, no pagues de nuevo. Esta página se actualiza sola.'],
    'not-seen': ['Aún no vemos tu pago', 'Si ya transferiste, no pagues de nuevo. Esta página se actualiza sola.'],
    verifying: ['Estamos verificando tu transferencia', 'Esta página se actualiza sola.', advice.es],
    'verifying-longer': [
      'Seguimos verificando tu transferencia',
      'Está tardando un poco más de lo habitual.',
      advice.es,
    ],
    'verifying-later': [
      'Seguimos verificando tu transferencia',
      'Puedes cerrar esta página: la tienda te avisará, normalmente por correo.',
      advice.es,
    ],
    offline: ['Sin conexión', 'Seguimos apenas vuelva.', advice.es],
    confirmed: ['Pago confirmado', 'Recibimos tu transferencia. No tienes que hacer nada más.'],
    late: ['Pago confirmado', 'Tu transferencia llegó después del plazo. Si tienes dudas, pregunta en la tienda.'],
    expired: ['El plazo para pagar terminó', 'Si ya transferiste, no pagues de nuevo: aún podemos confirmarlo.'],
    rejected: [
      'El pago no se completó',
      'Puedes retomarlo desde la tienda. Si ya ves el cargo en tu banco, no pagues de nuevo y avísale a la tienda.',
    ],
    cancelled: ['Este cobro fue anulado', 'No tienes que pagarlo. Si ya transferiste, avísale a la tienda.'],
    reversed: ['Tu pago fue devuelto', 'El dinero vuelve a tu cuenta. Si tienes dudas, pregunta en la tienda.'],
    unavailable: ['Estado de tu pago', 'Aquí no podemos mostrarlo. Revisa tu correo o pregunta en la tienda.'],
  },
  en: {
    connecting: ['Checking your payment', 'One moment, please.', advice.en],
    pending: ['Waiting for your transfer', 'If you already made it, do not pay again. This page updates itself.'],
    'not-seen': ['We do not see your payment yet', 'If you already transferred, do not pay again. This page updates itself.'],
    verifying: ['We are verifying your transfer', 'This page updates itself.', advice.en],
    'verifying-longer': ['Still verifying your transfer', 'It is taking a little longer than usual.', advice.en],
    'verifying-later': [
      'Still verifying your transfer',
      'You can close this page: the shop will let you know, usually by e-mail.',
      advice.en,
    ],
    offline: ['No connection', 'We carry on as soon as it is back.', advice.en],
    confirmed: ['Payment confirmed', 'We received your transfer. There is nothing else to do.'],
    late: ['Payment confirmed', 'Your transfer arrived after the deadline. If in doubt, ask the shop.'],
    expired: ['The time to pay is over', 'If you already transferred, do not pay again: we can still confirm it.'],
    rejected: [
      'The payment was not completed',
      'You can resume it from the shop. If your bank already shows the charge, do not pay again and tell the shop.',
    ],
    cancelled: ['This charge was cancelled', 'You do not have to pay it. If you already transferred, tell the shop.'],
    reversed: ['Your payment was returned', 'The money goes back to your account. If in doubt, ask the shop.'],
    unavailable: ['Your payment', 'We cannot show its status here. Check your e-mail or ask the shop.'],
  },
  pt: {
    connecting: ['Consultando seu pagamento', 'Um momento, por favor.', advice.pt],
    pending: [
      'Aguardando sua transferência',
      'Se você já a fez, não pague de novo. Esta página se atualiza sozinha.',
    ],
    'not-seen': ['Ainda não vemos seu pagamento', 'Se você já transferiu, não pague de novo. Esta página se atualiza sozinha.'],
    verifying: ['Estamos verificando sua transferência', 'Esta página se atualiza sozinha.', advice.pt],
    'verifying-longer': [
      'Continuamos verificando sua transferência',
      'Está demorando um pouco mais que o normal.',
      advice.pt,
    ],
    'verifying-later': [
      'Continuamos verificando sua transferência',
      'Você pode fechar esta página: a loja avisará você, normalmente por e-mail.',
      advice.pt,
    ],
    offline: ['Sem conexão', 'Continuamos assim que ela voltar.', advice.pt],
    confirmed: ['Pagamento confirmado', 'Recebemos sua transferência. Você não precisa fazer mais nada.'],
    late: ['Pagamento confirmado', 'Sua transferência chegou após o prazo. Em caso de dúvida, fale com a loja.'],
    expired: ['O prazo para pagar terminou', 'Se você já transferiu, não pague de novo: ainda podemos confirmar.'],
    rejected: [
      'O pagamento não foi concluído',
      'Você pode retomá-lo na loja. Se o débito já aparece no seu banco, não pague de novo e avise a loja.',
    ],
    cancelled: ['Esta cobrança foi anulada', 'Você não precisa pagá-la. Se já transferiu, avise a loja.'],
    reversed: ['Seu pagamento foi devolvido', 'O dinheiro volta para sua conta. Em caso de dúvida, fale com a loja.'],
    unavailable: ['Seu pagamento', 'Não podemos mostrá-lo aqui. Confira seu e-mail ou fale com a loja.'],
  },
};
